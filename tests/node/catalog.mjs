// Backstage's own catalog client and predicate evaluator. One JSON command a line on standard input, one answer a line.
//   {"call": "queryEntities", "args": [...]}        -> {"value": ...} or {"error": {"name", "status", "message"}}
//   {"evaluate": predicate, "entities": [...]}      -> {"value": [true, false, ...]}
// Argument: the base URL of the server. The token, where one is needed, is UWU_TOKEN.
import { createInterface } from 'node:readline';
import { CatalogClient } from '@backstage/catalog-client';
import { filterPredicateToFilterFunction } from '@backstage/filter-predicates';

const base = process.argv[2];
const token = process.env.UWU_TOKEN;
const client = new CatalogClient({
  discoveryApi: { getBaseUrl: async plugin => `${base}/api/${plugin}` },
  fetchApi: { fetch },
});

async function run(command) {
  if ('evaluate' in command) {
    return command.entities.map(filterPredicateToFilterFunction(command.evaluate));
  }
  const answer = client[command.call](...command.args, token ? { token } : undefined);
  if (typeof answer?.[Symbol.asyncIterator] !== 'function') return (await answer) ?? null;
  const parts = [];
  for await (const part of answer) parts.push(part);
  return parts;
}

for await (const line of createInterface({ input: process.stdin })) {
  let told;
  try {
    told = { value: await run(JSON.parse(line)) };
  } catch (error) {
    told = { error: { name: error.cause?.name ?? error.name, status: error.statusCode ?? 0, message: error.cause?.message ?? error.message } };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
