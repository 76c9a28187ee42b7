import os

# gRPC would start its threads anew in every child between fork and exec, where their files are closed under them: now
# and then such a child died of it. Every child of ours execs.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
