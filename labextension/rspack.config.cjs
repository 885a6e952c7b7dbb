// What the builder of JupyterLab does not do by itself: TypeScript, read as it stands.
module.exports = {
  resolve: { extensions: ['.ts', '.tsx', '.js', '.mjs'] },
  module: {
    rules: [
      {
        test: /\.tsx?$/,
        loader: 'builtin:swc-loader',
        options: {
          jsc: { parser: { syntax: 'typescript', tsx: true }, target: 'es2022' }
        },
        type: 'javascript/auto'
      }
    ]
  }
};
