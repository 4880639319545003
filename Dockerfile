# The service's image. It needs a PostgreSQL (DATABASE_URL), ENCRYPTION_KEYS and an API key, and
# writes nothing to its own files: run it with a read-only root and a tmpfs at /tmp.
# Its tables are brought to its version at each start; copies that start together wait in turn.

FROM node:22-slim AS graphiql
WORKDIR /build/web/graphiql
COPY web/graphiql/build.sh web/graphiql/package.json web/graphiql/SHA256SUMS ./
RUN sh build.sh

FROM python:3.13-slim AS dependencies
WORKDIR /build
COPY requirements-container.txt ./
# The environment has no pip of its own. Wheels alone: nothing is compiled here.
RUN python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: -r requirements-container.txt

FROM python:3.13-slim AS runtime
RUN groupadd --gid 10001 scheduler \
    && useradd --uid 10001 --gid scheduler --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin scheduler
WORKDIR /app
COPY --from=dependencies /venv /venv
COPY --from=graphiql /build/web/static/graphiql web/static/graphiql
COPY LICENSE main.py setting_types.py settings.py ./
COPY migrations migrations
COPY models models
COPY engine engine
COPY schema schema
COPY web web
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=3005
# Compiled here, because nothing can be written later. By hash, so that a changed source counts.
RUN chmod -R a+rX . && python -m compileall -q --invalidation-mode checked-hash .
USER 10001:10001
EXPOSE 3005
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=2s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 3005), timeout=4); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "main.py", "serve"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="discord-task-scheduler" \
    org.opencontainers.image.description="Posts Discord webhooks on cron schedules, managed through GraphQL." \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="$REVISION"
