// Builds what browsers load: npm run build [-- --development]
// For Lab, the builder's own command, with the packages of the oldest JupyterLab 4 that it knows as what is shared. It comes last, so that
// what it writes tells that all is built.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildCards, buildHub } from './pages.mjs';

const require = createRequire(import.meta.url);
const folder = dirname(fileURLToPath(import.meta.url));
const builder = dirname(require.resolve('@jupyter/builder/package.json'));
const core = join(dirname(require.resolve('@jupyterlab/core-meta/package.json')), 'core.package.json');

const development = process.argv.includes('--development');
await buildCards(development);
await buildHub(development);
const { status } = spawnSync(
  process.execPath,
  [join(builder, 'lib', 'build-labextension.js'), '--core-package-file', core, ...process.argv.slice(2), folder],
  { stdio: 'inherit', env: { ...process.env, TERM: 'dumb' } }
);
process.exitCode = status ?? 1;
