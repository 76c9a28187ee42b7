# Training and export, on GPUs or CPUs. From the repository root:
# docker build -f images/training.Dockerfile --build-arg REVISION=$(git rev-parse HEAD) -t nextclick-training .
#
# No CUDA base image: PyTorch's wheels bring the CUDA libraries they were built with, so another set would be 2 GB that
# nothing loads. The driver's libraries come from the node, through NVIDIA's container runtime.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG UV_VERSION=0.13.9
ENV UV_CACHE_DIR=/var/cache/uv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
WORKDIR /src
# Dependencies first, as they change less often than the code; and without their own tests.
COPY requirements-training.lock ./
RUN /opt/uv/bin/uv venv --python python3 /opt/nextclick \
 && /opt/uv/bin/uv pip sync --python /opt/nextclick/bin/python --require-hashes requirements-training.lock \
 && find /opt/nextclick/lib -type d -name tests -prune -exec rm -r {} +
COPY . .
# requirements.lock pins what builds the wheel.
RUN /opt/uv/bin/uv build --wheel --require-hashes --build-constraints requirements.lock --out-dir /wheel \
 && /opt/uv/bin/uv pip install --python /opt/nextclick/bin/python --no-deps /wheel/*.whl \
 && /opt/nextclick/bin/python images/licences.py >/opt/nextclick/LICENCES

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=
# Nextclick itself is Apache-2.0; the file LICENCES names what else is inside, package by package.
LABEL org.opencontainers.image.title="nextclick-training" \
      org.opencontainers.image.description="Training and export of Nextclick" \
      org.opencontainers.image.licenses="Apache-2.0 AND LGPL-2.1-or-later AND LGPL-3.0-only AND MPL-2.0 AND LicenseRef-NVIDIA-Proprietary AND LicenseRef-others-in-opt-nextclick-LICENCES" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 nextclick \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin nextclick \
 && install -d -o 10001 -g 10001 /var/lib/nextclick
COPY --from=build /opt/nextclick /opt/nextclick
# Of the driver, NVIDIA's runtime mounts only what is asked for here; which GPUs a container sees, its pod says.
# Idle threads of PyTorch must not spin, and Python must not look for code where it was started.
ENV PATH=/opt/nextclick/bin:$PATH \
    HOME=/tmp \
    NEXTCLICK_HOME=/var/lib/nextclick \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    OMP_WAIT_POLICY=PASSIVE \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/nextclick
USER 10001:10001
CMD ["nextclick", "--help"]
