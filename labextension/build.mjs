// Builds the prebuilt extension: npm run build [-- --development]
// The builder's own command for it, with the packages of the oldest JupyterLab 4 that it knows as what is shared.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const folder = dirname(fileURLToPath(import.meta.url));
const builder = dirname(require.resolve('@jupyter/builder/package.json'));
const core = join(dirname(require.resolve('@jupyterlab/core-meta/package.json')), 'core.package.json');
const { status } = spawnSync(
  process.execPath,
  [join(builder, 'lib', 'build-labextension.js'), '--core-package-file', core, ...process.argv.slice(2), folder],
  { stdio: 'inherit', env: { ...process.env, TERM: 'dumb' } }
);
process.exit(status ?? 1);
