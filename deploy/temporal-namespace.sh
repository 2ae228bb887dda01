#!/bin/sh
# Makes the namespace of the cases; closed histories are kept for 30 days, the archive keeps every fact for good.
set -eu
until temporal operator cluster health --address "$TEMPORAL_ADDRESS"; do sleep 2; done
temporal operator namespace describe -n "$TEMPORAL_NAMESPACE" --address "$TEMPORAL_ADDRESS" ||
  temporal operator namespace create -n "$TEMPORAL_NAMESPACE" --retention 720h --address "$TEMPORAL_ADDRESS"
