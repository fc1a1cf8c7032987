#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What ClusterFuzzLite starts, in the folder with the sources.
exec bash ci/oss-fuzz/build.sh
