# streamspec alone: `docker run --rm --init --network host streamspec test --url http://127.0.0.1:8080 --profile sse`.
# An image for servers that streamspec starts itself copies the program into theirs:
#   COPY --from=streamspec /usr/local/bin/streamspec /usr/local/bin/

FROM rust:1.91-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p streamspec && strip target/release/streamspec

FROM debian:bookworm-slim
# For servers behind https; the newest certificates are wanted.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/streamspec /usr/local/bin/streamspec
RUN useradd --create-home --uid 1000 streamspec
USER 1000:1000
WORKDIR /home/streamspec
# What an interrupt stops is written before the end.
STOPSIGNAL SIGINT
ENTRYPOINT ["streamspec"]
CMD ["--help"]
