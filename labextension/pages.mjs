// Builds what is loaded outside of Lab's own pages: cards in cells, and pages of the hub. Each file has all that it needs in it, and makes no
// code of text, as content security policies want it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const cards = resolve(folder, '..', 'jupyter_dodas', 'widgets', 'static');
const hub = resolve(folder, '..', 'jupyter_dodas', 'hub', 'static');
const require = createRequire(import.meta.url);
// rspack comes with the builder.
const { rspack } = createRequire(require.resolve('@jupyter/builder/package.json'))('@rspack/core');
const shared = require('./rspack.config.cjs');

// What Lab's variables are where there is no Lab: the colours of the page, whether it is light or dark.
const FALLBACKS = {
  '--jp-layout-color1': 'var(--vscode-editor-background, Canvas)',
  '--jp-layout-color2': 'color-mix(in srgb, CanvasText 6%, Canvas)',
  '--jp-layout-color3': 'color-mix(in srgb, CanvasText 14%, Canvas)',
  '--jp-border-color1': 'color-mix(in srgb, CanvasText 38%, Canvas)',
  '--jp-border-color2': 'color-mix(in srgb, CanvasText 22%, Canvas)',
  '--jp-ui-font-color1': 'var(--vscode-editor-foreground, CanvasText)',
  '--jp-ui-font-color2': 'color-mix(in srgb, CanvasText 72%, Canvas)',
  '--jp-ui-inverse-font-color0': '#fff',
  '--jp-ui-font-size1': '13px',
  '--jp-ui-font-family': 'system-ui, sans-serif',
  '--jp-code-font-family': 'monospace',
  '--jp-brand-color0': '#0d47a1',
  '--jp-brand-color1': '#1976d2',
  '--jp-brand-color3': '#bbdefb',
  '--jp-success-color1': '#388e3c',
  '--jp-warn-color1': '#f57c00',
  '--jp-error-color1': '#d32f2f',
  '--jp-error-color3': '#ffcdd2'
};

/** A style sheet with those that it imports. */
function whole(file) {
  return readFileSync(file, 'utf8').replace(/@import\s+(?:url\()?['"]([^'"]+)['"]\)?;/g, (_, name) => whole(join(dirname(file), name)));
}

function style() {
  const missing = new Set();
  const text = whole(join(folder, 'style', 'index.css'))
    .replace(/\/\*.*?\*\//gs, '')
    .replace(/\s+/g, ' ')
    .replace(/var\((--jp-[\w-]+)\)/g, (all, name) => {
      if (!(name in FALLBACKS)) {
        missing.add(name);
      }
      return `var(${name}, ${FALLBACKS[name]})`;
    });
  if (missing.size) {
    throw new Error(`pages.mjs has no colour for ${[...missing].join(', ')}`);
  }
  return `${text.trim()}\n`;
}

/** What of others is in them, with the texts that their licences want to go along. */
function licences(stats) {
  const all = module => [module, ...(module.modules ?? []).flatMap(all)];
  const every = { modules: true, nestedModules: true, orphanModules: true, modulesSpace: Infinity, nestedModulesSpace: Infinity };
  const files = stats.toJson({ all: false, ...every }).modules.flatMap(all).map(({ nameForCondition }) => nameForCondition ?? '');
  const packages = files.flatMap(file => /^.*\/node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []);
  return [...new Set(packages)].sort().map(root => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const file = readdirSync(root).find(entry => /^licen[cs]e/i.test(entry));
    return { name, version, license, text: file ? readFileSync(join(root, file), 'utf8') : '' };
  });
}

/** Builds what anywidget runs in cells: one module for the card, one for the form, and their style. */
export async function buildCards(development) {
  await build(development, 'licences.json', {
    entry: { card: './src/card/card.tsx', launcher: './src/card/launcher.tsx' },
    output: { path: cards, filename: '[name].js', module: true, library: { type: 'module' }, clean: true }
  });
  writeFileSync(join(cards, 'card.css'), style());
}

/** Builds what pages of the hub load: that for a new notebook, and that of infrastructures. */
export async function buildHub(development) {
  await build(development, 'form.licences.json', {
    entry: { form: './src/hub/index.tsx', infrastructures: './src/hub/infrastructures.tsx' },
    output: { path: hub, filename: '[name].js' }
  });
  writeFileSync(join(hub, 'infrastructures.css'), style());
}

async function build(development, told, what) {
  const compiler = rspack({
    ...shared,
    ...what,
    context: folder,
    mode: development ? 'development' : 'production',
    devtool: false, // source maps of development are made with eval
    target: ['web', 'es2022'],
    // A notebook keeps what a widget is drawn with, so it is to be small.
    resolve: { ...shared.resolve, alias: { react: 'preact/compat', 'react-dom': 'preact/compat' } },
    module: { ...shared.module, parser: { javascript: { dynamicImportMode: 'eager' } } },
    optimization: { splitChunks: false, runtimeChunk: false },
    performance: { hints: false }
  });
  const stats = await new Promise((done, failed) => compiler.run((error, found) => (error ? failed(error) : done(found))));
  await new Promise(done => compiler.close(done));
  if (stats.hasErrors()) {
    throw new Error(stats.toString({ preset: 'errors-only' }));
  }
  writeFileSync(join(what.output.path, told), JSON.stringify(licences(stats), null, 1));
}
