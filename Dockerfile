# docs/container.md: docker build -t gan_inversion . ; weights lie in a volume, photographs and results in /work.
FROM python:3.11-slim-bookworm

# OpenCV needs both; Debian keeps one version of a package in a release, so there is none to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements.lock.txt ./

# Empty: torch as locked, with CUDA. An index with torch's CPU build: the same versions from there, and no CUDA.
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then \
        sed -nE 's/^(torch|torchvision)(==[^ ]+).*/\1\2/p' requirements.lock.txt > torch.txt \
        && pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" -r torch.txt \
        && awk '/^[^ ]/ {skip = /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==/} !skip' requirements.lock.txt > rest.txt; \
    else \
        cp requirements.lock.txt rest.txt; \
    fi \
    && pip install --no-cache-dir --no-deps --require-hashes -r rest.txt

COPY pyproject.toml setup.py README.md LICENSE ./
COPY gan_inversion ./gan_inversion
COPY configs ./configs
COPY weights ./weights
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && mkdir /weights /work \
    && chown 1000:1000 /weights /work

ENV GAN_INVERSION_WEIGHTS=/weights MPLCONFIGDIR=/tmp/matplotlib
VOLUME /weights
WORKDIR /work
USER 1000:1000
EXPOSE 7860
ENTRYPOINT ["gan_inversion"]
CMD ["--help"]
