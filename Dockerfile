# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build

# Where the CPU build of PyTorch is found (PyTorch's own installation page names it). Left empty, Linux gets the build for graphics
# cards: it works the same and makes the image several gigabytes larger.
ARG TORCH_INDEX_URL=

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
WORKDIR /src

# Dependencies come before the code, so that a change of the code installs none of them again.
COPY requirements.lock ./
RUN /opt/venv/bin/pip install -c requirements.lock ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL" --no-deps} \
        "$(grep '^torch==' requirements.lock)" \
    && /opt/venv/bin/pip install -c requirements.lock torch
COPY pyproject.toml README.md ./
RUN python - <<'EOF' > wanted.txt && /opt/venv/bin/pip install -c requirements.lock -r wanted.txt
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *extras["llm"], *extras["server"], *extras["sql"], *extras["objects"], sep="\n")
EOF
COPY . .
RUN /opt/venv/bin/pip install --no-deps .

FROM python:3.11-slim

# git: for sources of that kind.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 ambit \
    && useradd --system --uid 10001 --gid ambit --home-dir /var/lib/ambit --no-create-home ambit \
    && install -d -o ambit -g ambit -m 0700 /var/lib/ambit
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1 \
    DO_NOT_TRACK=1 \
    AMBIT_DATA_DIR=/var/lib/ambit \
    AMBIT_HOST=0.0.0.0 \
    AMBIT_PORT=8600
WORKDIR /var/lib/ambit
VOLUME /var/lib/ambit
USER ambit
EXPOSE 8600
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8600/healthz', timeout=4)"]
CMD ["ambit", "serve"]
