# The desk in one container: the app and the `churn` command, without build tools, as a user without rights.
#   docker build -t churn .
#   docker run -p 127.0.0.1:8501:8501 -e CHURN_ALLOW_ANONYMOUS=yes -e CHURN_STORE=s3://bucket/prefix -e AWS_ACCESS_KEY_ID=… -e AWS_SECRET_ACCESS_KEY=… churn
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements/uv.txt requirements/app.txt requirements/
RUN python -m venv .venv \
 && .venv/bin/pip install --require-hashes -r requirements/uv.txt \
 && VIRTUAL_ENV=/app/.venv .venv/bin/uv pip install --no-cache --compile-bytecode --require-hashes -r requirements/app.txt \
 && .venv/bin/pip uninstall -y uv
COPY pyproject.toml README.md LICENSE ./
COPY churn churn
RUN .venv/bin/pip install --no-deps --no-build-isolation -e . \
 && .venv/bin/python -m compileall -q churn

FROM ${PYTHON}
# LightGBM's threads
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1=12.* \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /var/lib/churn churn
WORKDIR /app
COPY --from=build /app /app
COPY streamlit_app.py serve.py ./
COPY pages pages
COPY .streamlit .streamlit
COPY data/demo/schema.yaml data/demo/schema.yaml
ENV PATH=/app/.venv/bin:$PATH CHURN_HOME=/var/lib/churn CHURN_ADDRESS=0.0.0.0 PORT=8501 PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
USER 10001
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/ready', timeout=2)"]
CMD ["sh", "-c", "exec churn app --port \"$PORT\""]
