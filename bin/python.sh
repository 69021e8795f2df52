# Sourced by the other scripts: $root is the project, $python the newest Python that fits.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python=""
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python="$candidate"
        break
    fi
done
if [ -z "$python" ]; then
    echo "plumbline: Python 3.11 or newer is needed; found $(python3 --version 2>&1 | head -1)." \
        "Install one, or name it: PYTHON=/path/to/python3.12 $0" >&2
    exit 1
fi
# Makes .venv and installs the requirement groups named (web, train, models, dev), if not there yet.
prepare() { (cd "$root" && "$python" -m config.bootstrap "$@"); }
