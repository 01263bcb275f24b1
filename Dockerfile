# One image for web and worker; compose.yaml says which command each runs.

FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements-dev.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-dev.lock
COPY pyproject.toml README.md LICENSE ./
COPY bus ./bus
COPY workers ./workers
COPY quart_app ./quart_app
COPY cli ./cli
COPY busctl ./busctl
COPY clients/js/src ./clients/js/src
COPY clients/python/busctl_client ./clients/python/busctl_client
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1
COPY requirements.lock /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --no-deps /tmp/wheels/*.whl
RUN useradd --create-home --uid 10001 busctl
USER busctl
WORKDIR /home/busctl
EXPOSE 8000
CMD ["busctl", "serve", "--bind", "0.0.0.0:8000"]
