{{/* Probes of a consumer, which all have /healthz and /readyz beside their metrics. */}}
{{- define "nextclick.consumerProbes" -}}
# 60 × 2 s: two minutes to import, bring a registry of its own up to date where none is shared, and find Kafka.
startupProbe:
  httpGet:
    path: /healthz
    port: metrics
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
# Ready once the group has dealt its partitions; not while what it writes to is away, which a restart would not mend.
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
# Restarted 3 × 10 s after /healthz finds that the loop has not turned for LIVENESS_SECONDS, 120 by default.
livenessProbe:
  httpGet:
    path: /healthz
    port: metrics
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{/* One leaves the group, then one joins: no member more than `replicas`, and its messages wait in Kafka meanwhile. */}}
{{- define "nextclick.consumerStrategy" -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: 0
  maxUnavailable: 1
{{- end -}}
