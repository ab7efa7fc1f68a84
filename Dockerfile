# One image for every role: `docker build -t marketflow .`, or `buildah build -t marketflow .`.
# The command says which: python -m bytewax.run dataflows.ticker, marketflow serve, marketflow init.

FROM docker.io/library/python:3.12-slim AS build
WORKDIR /app
RUN python -m venv /venv
# Layers that change seldom come first: what the code needs, then the code.
COPY requirements.lock ./
RUN /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
RUN python -m compileall -q /venv || true
COPY pyproject.toml README.md pipeline.yaml ./
COPY schemas ./schemas
COPY connectors ./connectors
COPY dataflows ./dataflows
COPY api ./api
# Not installed, but found: the module path is the folder, as in a checkout.
RUN printf '#!/venv/bin/python\nimport sys\nsys.path.insert(0, "/app")\nfrom connectors.commands.cli import main\nmain()\n' \
    > /venv/bin/marketflow && chmod 755 /venv/bin/marketflow && python -m compileall -q /app

FROM docker.io/library/python:3.12-slim
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
CMD ["marketflow", "--help"]
