// An issuer on the published OpenID server (`oidc-provider`), for our client and our protected
// servers: `--http PORT`. Whoever wants a token registers here first. The last part of a resource's
// path says what its tokens are: `signed` and `bound` are JWTs, `opaque` is for introspection.
// With `--wrong` it issues them for another server than the one that was asked for.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

const port = Number(process.argv[process.argv.indexOf('--http') + 1]);
const wrong = process.argv.includes('--wrong');

/** A new key as oidc-provider takes it. */
function key(kid, alg, kind, options) {
  const jwk = generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' });
  return { ...jwk, kid, alg, use: 'sig' };
}

const TOKENS = {
  signed: { accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } } },
  bound: { accessTokenFormat: 'jwt', accessTokenTTL: 4, jwt: { sign: { alg: 'ES256' } } },
  opaque: { accessTokenFormat: 'opaque', accessTokenTTL: 600 },
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [key('rsa', 'RS256', 'rsa', { modulusLength: 2048 }), key('ec', 'ES256', 'ec', { namedCurve: 'P-256' })] },
  scopes: ['openid', 'offline_access'],
  findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  features: {
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    introspection: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo(_, resource) {
        const audience = wrong ? 'https://elsewhere.example/mcp' : resource;
        return { scope: 'notes:read notes:write', audience, ...TOKENS[resource.split('/').pop()] };
      },
    },
    revocation: { enabled: true },
  },
});

provider.listen(port, '127.0.0.1');
