# docker build -t dlclint . && docker run --rm -v "$PWD:/models" dlclint check model.onnx
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
# The version is that of the wheel, which was made above.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel=$(ls /wheels/*.whl) && pip install --no-cache-dir "${wheel}[verify]" \
    && useradd --uid 10001 --create-home dlclint
# By number, so that a cluster that wants no root can tell.
USER 10001
WORKDIR /models
ENTRYPOINT ["dlclint"]
CMD ["--help"]
