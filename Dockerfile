# The program `oten` in a container: the demo, and a site with real sign-ins once it is configured.
# BuildKit (Docker's own since 23.0), podman and buildah build it, the last two with
# `--format docker`, for the OCI format has no HEALTHCHECK:
#
#     docker build --tag oten:local .
#
# The demo, then at http://localhost:3000. Another port has the same number inside and outside, for
# it is part of the emulated provider's name: `--publish 127.0.0.1:8080:8080 --env
# OTEN_LISTEN=0.0.0.0:8080`.
#
#     docker run --rm --read-only --publish 127.0.0.1:3000:3000 oten:local
#
# A site. The user of the container, 10001, must be able to read the secret's file; its sessions and
# the key that seals them lie on the volume.
#
#     docker run --read-only --stop-timeout 30 --publish 127.0.0.1:3000:3000 \
#         --volume oten:/var/lib/oten \
#         --volume /etc/oten/client-secret:/run/secrets/client-secret:ro \
#         --env OTEN_ENVIRONMENT=sandbox --env OTEN_CLIENT_ID=... \
#         --env OTEN_CLIENT_SECRET_FILE=/run/secrets/client-secret \
#         --env OTEN_REDIRECT_URI=http://localhost:3000/callback oten:local serve
#
# Two sites behind one Redis: config/compose.yaml.

# Both of one Debian release: the program is linked against its C library.
ARG RUST_IMAGE=rust:1-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim


FROM ${RUST_IMAGE} AS build

WORKDIR /src
# What .dockerignore lets through: the sources and nothing else.
COPY . .

# An image that is only tried out compiles faster with `--build-arg CARGO_PROFILE_RELEASE_OPT_LEVEL=0`.
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL=3
ARG CARGO_PROFILE_RELEASE_STRIP=symbols

# Dependencies are downloaded and compiled once: both caches outlive this build and are no part of
# the image. Our own code is always compiled; cargo goes by the times of files, and those of a
# checkout may be older than what the cache was made from.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    touch src/lib.rs src/bin/oten/main.rs \
    && cargo build --release --locked --features cli --bin oten \
    && install -D --mode=0755 target/release/oten /image/bin/oten \
    && install -d --mode=0700 /image/state/oten


# Nothing runs in this stage, so that it takes any base with a C library, also one without a shell.
FROM ${RUNTIME_IMAGE}

LABEL org.opencontainers.image.title="oten" \
      org.opencontainers.image.description="A site that leaves signing in to Oten" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"

# Whom to trust with TLS, as Debian's ca-certificates says.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /image/bin/oten /usr/local/bin/oten

# The one place that is written to: sessions in SQLite and the key that seals them. A volume of its
# own, so that the rest may be read-only (`--read-only`) and sessions outlive the container.
COPY --from=build --chown=10001:10001 /image/state/ /var/lib/
VOLUME /var/lib/oten
WORKDIR /var/lib/oten

# Nobody in particular. A number, so that Kubernetes can see that it is not root.
USER 10001:10001

# All addresses of the container; who may reach it is decided where its port is published.
ENV OTEN_LISTEN=0.0.0.0:3000
EXPOSE 3000

# The program asks itself: no shell and no curl is needed.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/oten", "health", "--self"]

# No shell in between: the signal to stop reaches the program. It finishes what it is at, so give it
# more time than Docker's 10 seconds: `--stop-timeout 30`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/oten"]

# The demo as long as nothing is configured, the site as soon as any OTEN_ variable but OTEN_LISTEN is
# set: half a configuration is refused. `serve` as an argument never runs the demo, which lets
# everybody in.
CMD ["run"]
