# Bursar with its embedded PostgreSQL, as an ordinary user; the data live in the volume /data.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv /opt/bursar && /opt/bursar/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/bursar/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 bursar && install -d -o bursar -g bursar -m 700 /data
COPY --from=build /opt/bursar /opt/bursar
USER bursar
VOLUME /data
EXPOSE 8400
ENTRYPOINT ["/opt/bursar/bin/bursar"]
CMD ["serve", "--host", "0.0.0.0", "--data-dir", "/data"]
