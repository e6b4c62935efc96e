# docker build -t dlclint . && docker run --rm -v "$PWD:/models" dlclint check model.onnx
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel=$(ls /wheels/*.whl) && pip install --no-cache-dir "${wheel}[verify]" \
    && useradd --create-home dlclint
USER dlclint
WORKDIR /models
ENTRYPOINT ["dlclint"]
CMD ["--help"]
