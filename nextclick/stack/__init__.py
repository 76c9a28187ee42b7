"""The local stack: Kafka, Redis and Triton out of package registries, started, watched and ended as one."""
