// Builds what browsers load: npm run build [-- --development]
// For Lab, the builder's own command, with the packages of the oldest JupyterLab 4 that it knows as what is shared. For pages that are not
// Lab's, files of their own: each has all that it needs in it, and makes no code of text, as their content security policies want it.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
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
if (status !== 0) {
  process.exit(status ?? 1);
}

const BUNDLES = [{ entry: 'src/hub/index.tsx', file: '../jupyter_dodas/hub/static/form.js' }];

const { rspack } = createRequire(require.resolve('@jupyter/builder/package.json'))('@rspack/core');
const typescript = require('./rspack.config.cjs');
for (const { entry, file } of BUNDLES) {
  const made = join(folder, file);
  const compiler = rspack({
    ...typescript,
    context: folder,
    entry: join(folder, entry),
    mode: process.argv.includes('--development') ? 'development' : 'production',
    devtool: false,
    output: { path: dirname(made), filename: basename(made) },
    performance: { hints: false }
  });
  await new Promise((resolve, reject) =>
    compiler.run((error, stats) => {
      const trouble = error ?? (stats.hasErrors() ? new Error(stats.toString('errors-only')) : null);
      compiler.close(() => (trouble ? reject(trouble) : resolve()));
    })
  );
}
