# The program `oten` in a container: the demo or, once configured, a site that signs in with Oten.
#
# Build it with BuildKit (the default of Docker 23.0 and later), podman or buildah. The last two need
# `--format docker`, because the OCI format has no HEALTHCHECK.
#
#     docker build --tag oten:local .
#
# Run the demo at http://localhost:3000. The port is part of the emulated provider's URL, so use the
# same port inside and outside: `--publish 127.0.0.1:8080:8080 --env OTEN_LISTEN=0.0.0.0:8080`.
#
#     docker run --rm --read-only --publish 127.0.0.1:3000:3000 oten:local
#
# Run a site. The container's user, 10001, must be able to read the secret. The sessions and their
# key are stored in the volume.
#
#     docker run --read-only --stop-timeout 30 --publish 127.0.0.1:3000:3000 \
#         --volume oten:/var/lib/oten \
#         --volume /etc/oten/client-secret:/run/secrets/client-secret:ro \
#         --env OTEN_ENVIRONMENT=sandbox --env OTEN_CLIENT_ID=... \
#         --env OTEN_CLIENT_SECRET_FILE=/run/secrets/client-secret \
#         --env OTEN_REDIRECT_URI=http://localhost:3000/callback oten:local serve
#
# config/compose.yaml runs two instances of a site with one Redis.

# Both images must have the same Debian release: the program links its C library.
ARG RUST_IMAGE=rust:1-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim


FROM ${RUST_IMAGE} AS build

WORKDIR /src
# .dockerignore excludes everything but the sources.
COPY . .

# For a faster build: `--build-arg CARGO_PROFILE_RELEASE_OPT_LEVEL=0`.
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL=3
ARG CARGO_PROFILE_RELEASE_STRIP=symbols

# The caches keep downloaded and compiled dependencies between builds and are not part of the image.
# `touch` forces a build of this crate: cargo compares file times, and the files of a checkout may be
# older than the cache.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    touch src/lib.rs src/bin/oten/main.rs \
    && cargo build --release --locked --features cli --bin oten \
    && install -D --mode=0755 target/release/oten /image/bin/oten \
    && install -d --mode=0700 /image/state/oten


# This stage runs no command, so the base image needs a C library but no shell.
FROM ${RUNTIME_IMAGE}

LABEL org.opencontainers.image.title="oten" \
      org.opencontainers.image.description="A site with Sign in with Oten" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"

# Trusted certificates from Debian's ca-certificates.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /image/bin/oten /usr/local/bin/oten

# The only writable folder: sessions in SQLite and their key. As a volume it keeps sessions when the
# container is replaced, and the root file system can be read-only (`--read-only`).
COPY --from=build --chown=10001:10001 /image/state/ /var/lib/
VOLUME /var/lib/oten
WORKDIR /var/lib/oten

# A numeric ID, so that Kubernetes can verify that the user is not root.
USER 10001:10001

# All addresses of the container; publish the port to control access.
ENV OTEN_LISTEN=0.0.0.0:3000
EXPOSE 3000

# The program checks itself, so the image needs no shell and no curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/oten", "health", "--self"]

# Without a shell, the program receives the stop signal. It finishes open requests first, which can
# take longer than Docker's default of 10 seconds: use `--stop-timeout 30`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/oten"]

# Runs the demo if no OTEN_ variable except OTEN_LISTEN is set, and the site otherwise. An incomplete
# configuration is an error. Pass `serve` to never run the demo, which accepts any user.
CMD ["run"]
