# Sourced by the steps that install something.

# install COMMAND…: a registry may be out of reach for a moment.
install() {
  local tries
  for tries in 1 2 3; do
    if timeout 300 "$@"; then return 0; fi
    echo "${0##*/}: \`$*\` failed, attempt $tries of 3" >&2
  done
  return 1
}
