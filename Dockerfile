# One image for every process of Vigil; compose says which one runs.
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /home/vigil vigil && install -d -o vigil -m 0700 /data
COPY --from=build /venv /venv
COPY --chown=root:root policies /app/policies
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 VIGIL_HOME=/data VIGIL_POLICIES_DIR=/app/policies
WORKDIR /app
USER vigil
ENTRYPOINT ["vigil"]
CMD ["worker"]
