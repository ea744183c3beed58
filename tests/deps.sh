#!/bin/sh
# Debian packages the tests want. As root on Debian they are installed, starting no service; elsewhere this says what is left out.
set -u
wanted="postgresql-15 mariadb-server clickhouse-server util-linux iproute2 chromium fonts-noto-cjk"
missing=""
for package in $wanted; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "deps: not Debian: tests marked 'postgres', 'mariadb' and 'clickhouse' need those servers on PATH and are left out without them"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "deps: not root: tests marked 'postgres', 'mariadb' or 'clickhouse' are left out unless you run: sudo apt-get install$missing"
	exit 0
fi
# A test machine gets no cluster and no running service from the package; the tests start their own in a temporary folder.
mkdir -p /etc/postgresql-common
grep -qs '^create_main_cluster' /etc/postgresql-common/createcluster.conf || echo "create_main_cluster = false" >>/etc/postgresql-common/createcluster.conf
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=1
fi
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
status=$?
[ -n "$made" ] && rm -f "$policy"
[ "$status" = 0 ] || echo "deps: cannot install$missing; the tests that need them are skipped and say so"
exit 0
