# One target per program: init, proxy, control-plane, admission-controller, sample-app.
#
#   scripts/wheels                              # outside: this is the only step that needs an index
#   docker build --target proxy -t tulle/proxy:0.1.0 .
#   scripts/images                              # both, for all targets, and prints the sizes
#
# Every program lives in a virtual environment at /opt/tulle, installed from wheels/ with --no-index. What a program
# imports is compiled while the image is built, since its root file system is read-only and its user is nobody special.
ARG PYTHON=python:3.13-slim-bookworm
ARG PROGRAM=proxy

# --- what all have: Python, and nothing that installs anything
FROM ${PYTHON} AS python
RUN rm -rf /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/idlelib /usr/local/lib/python3*/tkinter \
    /usr/local/lib/python3*/turtledemo /usr/local/lib/python3*/pydoc_data /usr/local/lib/python3*/lib2to3 \
    /usr/local/lib/python3*/test /usr/local/lib/python3*/config-3* /usr/local/lib/libpython3*.a \
    /usr/local/lib/python3*/site-packages/* /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/pydoc* \
    /usr/local/bin/2to3* /usr/local/include /usr/local/share/man /root/.cache \
    && find /usr/local/lib -name __pycache__ -prune -exec rm -rf {} +
# Copied as a whole, so that what was removed above is not in a layer below. All images share this one layer.
FROM scratch AS runtime
COPY --from=python / /
ENV PATH=/opt/tulle/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin \
    LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPYCACHEPREFIX=/opt/tulle/tulle-pycache
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version=${VERSION} org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.licenses=MIT org.opencontainers.image.vendor=Tulle

# --- installing: `build-X` has the environment of X
FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
RUN python -m venv --without-pip /opt/tulle && mkdir /opt/tulle/tulle-pycache
COPY scripts/sbom /usr/local/bin/sbom

FROM build AS build-init
RUN --mount=type=bind,source=wheels,target=/wheels \
    pip --python /opt/tulle/bin/python install -q --no-compile --no-index --find-links /wheels tulle-init-container
RUN unset PYTHONDONTWRITEBYTECODE; PYTHONPYCACHEPREFIX=/opt/tulle/tulle-pycache /opt/tulle/bin/tulle-init --dry-run >/dev/null \
    && sbom /opt/tulle/lib/python3*/site-packages > /opt/tulle/sbom.json

# PLUGINS: more plugins, by name, whose wheels are in wheels/, for the three programs that load them. Of ours only the
# otlp exporter is not in the proxy's image, since it needs grpcio: --build-arg PLUGINS="tulle-exporter-otlp" adds it.
FROM build AS build-proxy
ARG PLUGINS=""
RUN --mount=type=bind,source=wheels,target=/wheels \
    pip --python /opt/tulle/bin/python install -q --no-compile --no-index --find-links /wheels tulle-data-plane \
    $(cd /wheels && ls | sed -nE 's/^(tulle_(balancer|policy|exporter)_[a-z0-9_]+)-.*/\1/p' | grep -v _otlp$) ${PLUGINS}
RUN unset PYTHONDONTWRITEBYTECODE; /opt/tulle/bin/tulle-proxy --check \
    && sbom /opt/tulle/lib/python3*/site-packages > /opt/tulle/sbom.json

FROM build AS build-control-plane
ARG PLUGINS=""
RUN --mount=type=bind,source=wheels,target=/wheels \
    pip --python /opt/tulle/bin/python install -q --no-compile --no-index --find-links /wheels tulle-control-plane \
    $(cd /wheels && ls | sed -nE 's/^(tulle_(balancer|policy|catalog)_[a-z0-9_]+)-.*/\1/p') ${PLUGINS} \
    && rm -rf /opt/tulle/lib/python3*/site-packages/kubernetes/aio
# (the official client's other half, 40 MB, which nothing of ours imports)
RUN unset PYTHONDONTWRITEBYTECODE; export PYTHONPYCACHEPREFIX=/opt/tulle/tulle-pycache; \
    /opt/tulle/bin/tulle-control-plane --help >/dev/null \
    && /opt/tulle/bin/python -c "import tulle_control_plane.grpc.server, tulle_catalog_kubernetes.catalog" \
    && sbom /opt/tulle/lib/python3*/site-packages > /opt/tulle/sbom.json

FROM build AS build-admission-controller
ARG PLUGINS=""
RUN --mount=type=bind,source=wheels,target=/wheels \
    pip --python /opt/tulle/bin/python install -q --no-compile --no-index --find-links /wheels tulle-admission-controller \
    $(cd /wheels && ls | sed -nE 's/^(tulle_(balancer|policy)_[a-z0-9_]+)-.*/\1/p') ${PLUGINS}
RUN unset PYTHONDONTWRITEBYTECODE; export PYTHONPYCACHEPREFIX=/opt/tulle/tulle-pycache; \
    /opt/tulle/bin/tulle-admission-controller --help >/dev/null \
    && /opt/tulle/bin/python -m compileall -q /opt/tulle/lib \
    && sbom /opt/tulle/lib/python3*/site-packages > /opt/tulle/sbom.json

FROM build AS build-sample-app
RUN --mount=type=bind,source=wheels,target=/wheels \
    pip --python /opt/tulle/bin/python install -q --no-compile --no-index --find-links /wheels tulle-sample-app
RUN unset PYTHONDONTWRITEBYTECODE; PYTHONPYCACHEPREFIX=/opt/tulle/tulle-pycache /opt/tulle/bin/tulle-sample-app --help >/dev/null \
    && sbom /opt/tulle/lib/python3*/site-packages > /opt/tulle/sbom.json

# --- the images
# uid 0 because iptables asks for it; the injector gives it NET_ADMIN and NET_RAW and nothing else.
FROM runtime AS init
RUN command -v iptables-restore >/dev/null \
    || { apt-get update && apt-get install -y --no-install-recommends iptables && rm -rf /var/lib/apt/lists/*; }
COPY --from=build-init /opt/tulle /opt/tulle
LABEL org.opencontainers.image.title=tulle-init
ENTRYPOINT ["/opt/tulle/bin/tulle-init"]

FROM runtime AS proxy
COPY --from=build-proxy /opt/tulle /opt/tulle
LABEL org.opencontainers.image.title=tulle-proxy
USER 4140:4140
ENTRYPOINT ["/opt/tulle/bin/tulle-proxy"]

FROM runtime AS control-plane
COPY --from=build-control-plane /opt/tulle /opt/tulle
LABEL org.opencontainers.image.title=tulle-control-plane
USER 4141:4141
ENTRYPOINT ["/opt/tulle/bin/tulle-control-plane"]

FROM runtime AS admission-controller
COPY --from=build-admission-controller /opt/tulle /opt/tulle
LABEL org.opencontainers.image.title=tulle-admission-controller
USER 4142:4142
ENTRYPOINT ["/opt/tulle/bin/tulle-admission-controller"]

FROM runtime AS sample-app
COPY --from=build-sample-app /opt/tulle /opt/tulle
LABEL org.opencontainers.image.title=tulle-sample-app
USER 1000:1000
ENTRYPOINT ["/opt/tulle/bin/tulle-sample-app"]

# --- to work on Tulle (Tiltfile): PROGRAM's image, with the source as it lies here in place of the wheels' code, and a
# process 1 that starts it anew with code that is copied in (scripts/reload)
FROM build-${PROGRAM} AS live-source
ARG PROGRAM
# Compiled for where it lies, and for where scripts/reload puts it: what did not change need not be compiled there.
RUN --mount=type=bind,target=/context mkdir /live && cd /context \
    && find packages plugins -maxdepth 4 -name src 2>/dev/null | tar -c --exclude=__pycache__ -T - | tar -x -C /live \
    && cp -a /live /dev/shm/live-${PROGRAM} && PYTHONPYCACHEPREFIX=/opt/tulle/tulle-pycache \
    /opt/tulle/bin/python -m compileall -q -o 0 -o 2 /live /dev/shm/live-${PROGRAM}

FROM ${PROGRAM} AS live
ARG PROGRAM
COPY --from=live-source /opt/tulle/tulle-pycache /opt/tulle/tulle-pycache
COPY --from=live-source /live /live
COPY scripts/reload /usr/local/bin/reload
ENV TULLE_LIVE_PROGRAM=${PROGRAM}
ENTRYPOINT ["/usr/local/bin/reload"]

# --- the lab: `make demo` and the lessons, for those who have Docker and no Linux (docs/lab-image.md)
# The repository with its environment made, as scripts/setup would: third-party packages from wheels/, ours as they lie
# here, so that what a learner edits is what runs. Not pruned, since lessons use all of Python.
FROM ${PYTHON} AS lab
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore LANG=C.UTF-8 PYTHONUNBUFFERED=1
RUN --mount=type=bind,source=wheels,target=/wheels \
    if ls /wheels/debs/*.deb >/dev/null 2>&1; then dpkg -i /wheels/debs/*.deb; else \
    apt-get update && apt-get install -y --no-install-recommends iptables iproute2 uidmap curl make \
    && rm -rf /var/lib/apt/lists/*; fi >/dev/null
WORKDIR /tulle
RUN --mount=type=bind,source=wheels,target=/wheels \
    python -m venv .venv && .venv/bin/pip install -q --no-index --find-links /wheels \
    $(cd /wheels && ls | sed -nE 's/^(tulle_[a-z0-9_]+)-.*/\1/p' | grep -v _otlp$) 'tulle-cli[lab]'
COPY . /tulle
# Ours become links to their source; then bytecode, as scripts/setup makes it, and its own mark that nothing is left to do.
RUN rm -rf wheels && site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && for source in packages/*/src/tulle_* plugins/*/*/src/tulle_*; do \
        there=$site/$(basename "$source"); [ ! -d "$there" ] || { rm -rf "$there" && ln -s "/tulle/$source" "$there"; }; \
    done \
    && .venv/bin/python -m compileall -q -j0 .venv/lib packages/*/src plugins/*/*/src >/dev/null; \
    mkdir -p .venv/tulle-pycache && .venv/bin/tulle-proxy --check \
    && bash -c 'shopt -s nullglob; python=python3; eval "$(grep ^manifest= scripts/setup)"; printf %s "$manifest" > .venv/.tulle-ready' \
    && scripts/setup && .venv/bin/tulle --version
ENV PATH=/tulle/.venv/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin \
    XDG_STATE_HOME=/tulle/lessons/mine/.state TULLE_LAB_STATE=/root/.local/state/tulle/lab
# (what a learner has done is kept with the answers; the lab's own sockets are not, since a shared folder may have none)
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version=${VERSION} org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.licenses=MIT org.opencontainers.image.vendor=Tulle org.opencontainers.image.title=tulle-lab
CMD ["make", "demo"]
