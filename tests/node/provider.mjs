// A real OpenID provider on loopback: node provider.mjs '{"redirect_uri": ..., "people": {...}}'. It says where it listens.
import http from 'node:http';
import { Provider } from 'oidc-provider';

const asked = JSON.parse(process.argv[2]);
let inner;
const server = http.createServer((request, response) => inner(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: asked.client_id,
      client_secret: asked.client_secret,
      redirect_uris: [asked.redirect_uri],
      post_logout_redirect_uris: [asked.post_logout_redirect_uri],
    }],
    cookies: { keys: ['a key of the tests'] },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'], email: ['email', 'email_verified'] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    async findAccount(context, id) {
      return { accountId: id, claims: async () => ({ sub: id, ...(asked.people[id] ?? {}) }) };
    },
  });
  inner = provider.callback();
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
