{{/* Environment of our processes, by what they talk to. Each name is a field of the process's settings class. */}}

{{- define "nextclick.env" -}}
- name: LOG_FORMAT
  value: {{ .Values.logFormat | quote }}
- name: NEXTCLICK_HOME
  value: /var/lib/nextclick
{{- end -}}

{{/* A variable out of a Secret: (list "REDIS_URL" "secret") or, where it may be absent, (list "REDIS_URL" "secret" true). */}}
{{- define "nextclick.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 | quote }}
      key: {{ index . 0 }}
      {{- if gt (len .) 2 }}
      optional: true
      {{- end }}
{{- end -}}

{{- define "nextclick.redisEnv" -}}
{{- if .Values.redis.embedded.enabled -}}
- name: REDIS_URL
  value: redis://{{ include "nextclick.name" (list . "redis") }}:6379/0
{{- else -}}
{{- $secret := .Values.redis.existingSecret -}}
{{ include "nextclick.secretEnv" (list "REDIS_URL" $secret) }}
{{ include "nextclick.secretEnv" (list "REDIS_USERNAME" $secret true) }}
{{ include "nextclick.secretEnv" (list "REDIS_PASSWORD" $secret true) }}
{{- if .Values.redis.tlsSecret }}
- name: REDIS_CA_FILE
  value: /etc/nextclick/redis-tls/ca.crt
{{- end }}
{{- end -}}
{{- end -}}

{{/* ARCHIVE_PATH too: the registry's definitions name it, so all who bring them up to date must agree on it. */}}
{{- define "nextclick.registryEnv" -}}
- name: ARCHIVE_PATH
  value: {{ include "nextclick.archivePath" . | quote }}
{{- with .Values.registry.existingSecret }}
{{ include "nextclick.secretEnv" (list "REGISTRY_URL" .) }}
{{- end }}
{{- end -}}

{{- define "nextclick.kafkaEnv" -}}
{{- $security := .Values.kafka.security -}}
{{- $servers := .Values.kafka.bootstrapServers -}}
{{- if .Values.kafka.embedded.enabled -}}
{{- $servers = printf "%s:9092" (include "nextclick.name" (list . "kafka")) -}}
{{- end -}}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ $servers | quote }}
- name: KAFKA_SECURITY_PROTOCOL
  value: {{ $security.protocol }}
{{- if $security.tlsSecret }}
- name: KAFKA_SSL_CA_FILE
  value: /etc/nextclick/kafka-tls/ca.crt
{{- if $security.clientCertificate }}
- name: KAFKA_SSL_CERT_FILE
  value: /etc/nextclick/kafka-tls/tls.crt
- name: KAFKA_SSL_KEY_FILE
  value: /etc/nextclick/kafka-tls/tls.key
{{- end }}
{{- end }}
{{- if $security.saslMechanism }}
- name: KAFKA_SASL_MECHANISM
  value: {{ $security.saslMechanism }}
{{- if eq $security.saslMechanism "OAUTHBEARER" }}
{{ include "nextclick.secretEnv" (list "KAFKA_OAUTH_TOKEN_URL" $security.existingSecret) }}
{{ include "nextclick.secretEnv" (list "KAFKA_OAUTH_CLIENT_ID" $security.existingSecret) }}
{{ include "nextclick.secretEnv" (list "KAFKA_OAUTH_CLIENT_SECRET" $security.existingSecret) }}
{{ include "nextclick.secretEnv" (list "KAFKA_OAUTH_SCOPE" $security.existingSecret true) }}
{{- else }}
{{ include "nextclick.secretEnv" (list "KAFKA_SASL_USERNAME" $security.existingSecret) }}
{{ include "nextclick.secretEnv" (list "KAFKA_SASL_PASSWORD" $security.existingSecret) }}
{{- end }}
{{- end }}
- name: TOPIC_PARTITIONS
  value: {{ int64 .Values.kafka.topicPartitions | quote }}
- name: TOPIC_REPLICATION_FACTOR
  value: {{ int64 .Values.kafka.replicationFactor | quote }}
{{- end -}}

{{- define "nextclick.erasureEnv" -}}
{{- with .Values.erasure.existingSecret }}
{{ include "nextclick.secretEnv" (list "ERASURE_KEY" .) }}
{{- end }}
{{- end -}}

{{/* Metrics and probes of a consumer: its values. */}}
{{- define "nextclick.metricsEnv" -}}
- name: METRICS_HOST
  value: 0.0.0.0
- name: METRICS_PORT
  value: {{ int64 .metricsPort | quote }}
{{- end -}}

{{/* Credentials of object storage have many names, so this Secret comes whole. */}}
{{- define "nextclick.storageCredentials" -}}
{{- with .Values.storage.credentialsSecret }}
envFrom:
  - secretRef:
      name: {{ . | quote }}
{{- end }}
{{- end -}}
