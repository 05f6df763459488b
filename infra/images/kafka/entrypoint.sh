#!/bin/bash
# Write the server's properties from the KAFKA_* variables (KAFKA_NODE_ID is node.id), format the data folder once, and
# become the broker. CLUSTER_ID and KAFKA_HEAP_OPTS mean what they mean to the apache/kafka image.
set -euo pipefail

properties=/var/lib/kafka/server.properties
classpath='/opt/kafka/libs/*'
logging=-Dlog4j2.configurationFile=/opt/kafka/log4j2.xml

: > "$properties"
while IFS='=' read -r name value; do
  case "$name" in
    KAFKA_HEAP_OPTS) ;;
    KAFKA_*)
      key=${name#KAFKA_}
      printf '%s=%s\n' "$(tr 'A-Z_' 'a-z.' <<< "$key")" "$value" >> "$properties"
      ;;
  esac
done < <(env)

java "$logging" -cp "$classpath" kafka.tools.StorageTool format --ignore-formatted -t "$CLUSTER_ID" -c "$properties"
# shellcheck disable=SC2086 -- the variable holds several options
exec java ${KAFKA_HEAP_OPTS:--Xmx512m} "$logging" -cp "$classpath" kafka.Kafka "$properties"
