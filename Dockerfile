# Imagemill with everything: one container is a whole server, several are a fleet (deploy/compose.yaml).
#   docker build -t imagemill .
#   docker run -p 8700:8700 -v imagemill:/data imagemill

ARG PYTHON_IMAGE=python:3.13.15-slim-trixie
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# Before the code, so that a change of ours does not fetch everything again.
COPY deploy/requirements.txt deploy/requirements.txt
COPY requirements/build.txt requirements/build.txt
# One of the face models is for research only, takes 100 MB and is not used.
RUN python -m venv /opt/imagemill \
    && /opt/imagemill/bin/pip install --require-hashes -r deploy/requirements.txt \
    && find /opt/imagemill -name shape_predictor_68_face_landmarks.dat -delete \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/imagemill/bin/pip install --no-deps --no-index /wheels/*.whl

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 imagemill \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin imagemill \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data \
    && install --directory --owner=10001 --group=10001 /models
COPY --from=build /opt/imagemill /opt/imagemill
COPY --chmod=0755 deploy/image/entrypoint.sh deploy/image/healthcheck.sh /usr/local/bin/
ENV PATH=/opt/imagemill/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 IMAGEMILL_DATA_DIR=/data
# Reachable from outside of the container, which needs a key, and by the name its neighbours give it.
ENV IMAGEMILL_HOST=0.0.0.0 IMAGEMILL_ALLOWED_HOSTS=localhost,127.0.0.1,[::1],*.localhost,imagemill
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8700
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=4 CMD ["healthcheck.sh"]
ENTRYPOINT ["entrypoint.sh"]
CMD ["serve"]
