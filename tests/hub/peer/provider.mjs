// An OpenID provider that shares no line with ours: node provider.mjs PORT SECRET_FILE REDIRECT USERS
import { readFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, secretFile, redirect, users] = process.argv.slice(2);
const people = JSON.parse(users);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(`http://127.0.0.1:${port}/`, {
  clients: [
    {
      client_id: 'hub',
      client_secret: readFileSync(secretFile, 'utf8').trim(),
      redirect_uris: [redirect],
      grant_types: ['authorization_code', 'refresh_token'],
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'peer' }] },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'], email: ['email'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, name: people[id]?.name ?? id, groups: people[id]?.groups ?? [] }),
  }),
  features: { devInteractions: { enabled: true }, revocation: { enabled: true }, introspection: { enabled: true } },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  cookies: { keys: ['of no use to anybody'] },
});
provider.listen(Number(port), '127.0.0.1');
