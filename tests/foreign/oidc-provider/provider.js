// oidc-provider with Oten's profile, and for other clients with RS256. The argument is a JSON list of client registrations (RFC 7591).
// Prints its issuer and serves until it is killed.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import Provider from 'oidc-provider';

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://localhost:${server.address().port}`;

const page = (body) => `<!doctype html><title>oidc-provider</title>${body}`;
const html = (ctx, body) => {
  ctx.type = 'html';
  ctx.body = page(body);
};

const { privateKey } = generateKeyPairSync('ed25519');
const key = { ...privateKey.export({ format: 'jwk' }), kid: '1', use: 'sig', alg: 'EdDSA' };
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const rsaKey = { ...rsa.export({ format: 'jwk' }), kid: '2', use: 'sig', alg: 'RS256' };

const provider = new Provider(issuer, {
  clients: JSON.parse(process.argv[2]),
  jwks: { keys: [key, rsaKey] },
  cookies: { keys: ['of a test'] },
  clientAuthMethods: ['client_secret_post', 'client_secret_basic', 'none'],
  responseTypes: ['code'],
  scopes: ['openid'],
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  conformIdTokenClaims: false, // claims of scopes are in the ID token
  enabledJWA: {
    idTokenSigningAlgValues: ['EdDSA', 'RS256'],
    requestObjectSigningAlgValues: ['HS256', 'EdDSA'],
  },
  pkce: { required: () => true, methods: ['S256'] },
  ttl: { AccessToken: 120 },
  issueRefreshToken: () => true, // without the scope `offline_access`
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: false },
    requestObjects: { request: true },
    revocation: { enabled: true },
    rpInitiatedLogout: {
      logoutSource: (ctx, form) => html(
        ctx,
        `${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`,
      ),
    },
  },
  renderError: (ctx, { error }) => html(ctx, error),
  interactions: { url: (ctx, { uid }) => `/sign-in/${uid}` },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: `${sub} of oidc-provider`, email: `${sub}@example.com` }),
  }),
});

// Shows the login page, and takes its answer as a consent, too.
async function signIn(request, response) {
  if (request.method !== 'POST') {
    response.setHeader('content-type', 'text/html');
    response.end(page(
      `<form method="post"><button name="user" value="alice">Alice</button>
       <button name="user" value="">Cancel</button></form>`,
    ));
    return;
  }
  const accountId = new URLSearchParams(await text(request)).get('user');
  let result = { error: 'access_denied' };
  if (accountId) {
    const { params } = await provider.interactionDetails(request, response);
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { login: { accountId }, consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result);
}

const callback = provider.callback();
server.on('request', (request, response) => (
  request.url.startsWith('/sign-in/') ? signIn(request, response) : callback(request, response)
));
console.log(issuer);
