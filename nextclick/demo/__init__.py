"""The demo: public data through every stage, measured by the answers that come back over gRPC."""
