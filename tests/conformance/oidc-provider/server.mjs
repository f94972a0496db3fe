// An OIDC provider that is not ours, for the client-credentials grant on loopback.
//
//   node server.mjs DIRECTORY-WITH-node_modules '{"audience": "...", "client_id": "...", "client_secret": "..."}'
//
// Prints one JSON line when it listens, and ends when its standard input closes, so that it never outlives
// the test that started it.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const [modules, settingsText] = process.argv.slice(2);
const settings = JSON.parse(settingsText);
// The packages sit in .tools/node, not beside this file.
const { Provider, errors } = await import(createRequire(`${modules}/`).resolve('oidc-provider'));

const signingKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...signingKey, kid: 'conformance-1', use: 'sig', alg: 'RS256' }] },
  clients: [{
    client_id: settings.client_id,
    client_secret: settings.client_secret,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  }],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // RFC 8707 clients send `resource`. Auth0's dialect, which Kong and Postern speak, sends `audience`: it is
      // honoured when there is no `resource`, and nothing else of the provider is changed for us.
      defaultResource: (ctx) => ctx.oidc.body?.audience,
      getResourceServerInfo: (_ctx, resource) => {
        if (resource !== settings.audience) throw new errors.InvalidTarget();
        return {
          scope: 'read:secrets',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'RS256' } },
        };
      },
    },
  },
});
server.on('request', provider.callback());

console.log(JSON.stringify({
  issuer,
  token_endpoint: `${issuer}/token`,
  jwks_url: `${issuer}/jwks`,
}));

process.stdin.resume().on('end', () => process.exit(0));
