#!/bin/sh
# Fetch GraphiQL from npm, check it, and put what its page loads into web/static/graphiql.
# Only the three packages themselves are fetched: their browser builds need no others.
set -eu

cd "$(dirname "$0")"
here=$(pwd)
target=$here/../static/graphiql
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

packages=$(node -p '
  Object.entries(require("./package.json").dependencies).map((p) => p.join("@")).join(" ")')
cd "$work"
# shellcheck disable=SC2086 # several words are meant
npm pack --silent $packages >/dev/null
for archive in *.tgz; do
  name=${archive%-*}
  mkdir "$name"
  tar -xzf "$archive" --strip-components=1 -C "$name"
done

mkdir built
cp graphiql/graphiql.min.js graphiql/graphiql.min.css built/
cp react/umd/react.production.min.js react-dom/umd/react-dom.production.min.js built/
for name in graphiql react react-dom; do
  cp "$name/LICENSE" "built/LICENSE.$name"
done

cd built
if command -v sha256sum >/dev/null; then
  sha256sum --quiet -c "$here/SHA256SUMS"
else
  shasum -a 256 --quiet -c "$here/SHA256SUMS"
fi

# Packed here once, and not for every browser; without a time and a name in it, always the same.
for name in *.js *.css; do
  gzip -9 -n -c "$name" >"$name.gz"
done

rm -rf "$target"
mkdir -p "$(dirname "$target")"
cp -R . "$target"
echo "GraphiQL is in web/static/graphiql."
