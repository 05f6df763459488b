#!/bin/bash
# Write a Debian root file system with a Java runtime to standard output, as a tar stream for `docker import`.
# Needs root and debootstrap; takes its packages from DEBIAN_MIRROR, else from where apt takes those of the same Debian,
# else from debootstrap's own default.
set -euo pipefail
export LC_ALL=C.UTF-8

suite=bookworm
of_apt() { apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' 2> /dev/null || true; }
mirror=${DEBIAN_MIRROR:-$(of_apt | awk -v suite="$suite" '$1 == suite { print $2; exit }')}
work=$(mktemp -d -t freshet-rootfs-XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT

debootstrap --variant=minbase --include=default-jre-headless "$suite" "$work/root" ${mirror:+"$mirror"} >&2

# What no broker reads: half of the archive.
rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/var/log/* \
  "$work"/root/usr/share/{doc,man,locale,info}/*
tar --numeric-owner --one-file-system -C "$work/root" -c .
