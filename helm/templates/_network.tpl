{{- /* One rule of `egress`: (list PEERS PORTS); no peers are any address. */}}
{{- define "nextclick.egressTo" -}}
- ports:
    {{- range index . 1 }}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
  {{- with index . 0 }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- /* One rule of `ingress`: (list PEERS PORT); no peers are every pod of the cluster. */}}
{{- define "nextclick.ingressFrom" -}}
- ports:
    - {protocol: TCP, port: {{ int (index . 1) }}}
  from:
    {{- with index . 0 }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    - namespaceSelector: {}
    {{- end }}
{{- end -}}

{{- /* The peers that are components of this release, as a list: (list ROOT "gateway" …). */}}
{{- define "nextclick.ourPods" -}}
{{- $root := first . -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ $root.Chart.Name }}
      app.kubernetes.io/instance: {{ $root.Release.Name }}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: [{{ rest . | join ", " }}]}
{{- end -}}

{{- define "nextclick.egressToDns" -}}
# Names are resolved in kube-system, or by a cache on the node, which has no pod's address: so at any address.
- ports:
    {{- range .Values.networkPolicy.ports.dns }}
    - {protocol: UDP, port: {{ int . }}}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
{{- end -}}

{{- define "nextclick.egressToKafka" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if .Values.kafka.embedded.enabled -}}
{{ include "nextclick.egressTo" (list (include "nextclick.ourPods" (list . "kafka") | fromYamlArray) (list 9092)) }}
{{- else -}}
{{- $ports := list -}}
{{- range $policy.ports.kafka }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- /* Those of the addresses as well: the list has those that brokers advertise. */ -}}
{{- range splitList "," .Values.kafka.bootstrapServers }}{{ $ports = append $ports (regexFind "[0-9]+$" . | int) }}{{ end -}}
{{ include "nextclick.egressTo" (list $policy.kafka (uniq $ports)) }}
{{- if eq .Values.kafka.security.saslMechanism "OAUTHBEARER" }}
# Where OAUTHBEARER gets its tokens.
{{ include "nextclick.egressTo" (list $policy.oauth $policy.ports.oauth) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "nextclick.egressToRedis" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if .Values.redis.embedded.enabled -}}
{{ include "nextclick.egressTo" (list (include "nextclick.ourPods" (list . "redis") | fromYamlArray) (list 6379)) }}
{{- else -}}
{{ include "nextclick.egressTo" (list $policy.redis $policy.ports.redis) }}
{{- end }}
{{- end -}}

{{- define "nextclick.egressToRegistry" -}}
{{ include "nextclick.egressTo" (list .Values.networkPolicy.registry .Values.networkPolicy.ports.registry) }}
{{- end -}}

{{- define "nextclick.egressToStorage" -}}
{{ include "nextclick.egressTo" (list .Values.networkPolicy.storage .Values.networkPolicy.ports.storage) }}
{{- end -}}

{{- define "nextclick.egressToTriton" -}}
{{- if .Values.triton.enabled -}}
{{- $pods := include "nextclick.ourPods" (list . "triton") | fromYamlArray -}}
{{ include "nextclick.egressTo" (list $pods (list .Values.triton.grpcPort)) }}
{{- else -}}
{{ include "nextclick.egressTo" (list nil (list (regexFind "[0-9]+$" .Values.triton.externalUrl))) }}
{{- end }}
{{- end -}}

{{- /* Name, labels and the pods of one component's policy: (list ROOT "gateway"). */}}
{{- define "nextclick.policyHead" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "nextclick.name" . }}
  labels: {{- include "nextclick.labels" . | nindent 4 }}
{{- end -}}
{{- define "nextclick.policyPods" -}}
podSelector:
  matchLabels: {{- include "nextclick.selectorLabels" . | nindent 4 }}
policyTypes: [Ingress, Egress]
{{- end -}}
