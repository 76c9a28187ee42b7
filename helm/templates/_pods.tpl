{{/* What every pod has: no token, no variables of other Services, and where it may run.
     (list . "gateway" .Values.gateway); the values may lack everything. */}}
{{- define "nextclick.pod" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
serviceAccountName: {{ include "nextclick.name" (list $root (index . 1)) }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- /* GPU nodes are usually tainted by the name of their resource, to keep pods away that need no GPU. */}}
{{- $tolerations := $values.tolerations | default list }}
{{- with $values.gpu }}
{{- if gt (int .count) 0 }}
{{- $tolerations = append $tolerations (dict "key" .resource "operator" "Exists" "effect" "NoSchedule") }}
{{- end }}
{{- end }}
{{- with $tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of a pod: as nextclick.pod. A chart's version is none of them, for each new one would restart
     all pods. */}}
{{- define "nextclick.podMetadata" -}}
labels: {{- include "nextclick.selectorLabels" . | nindent 2 }}
{{- with (index . 2).podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Replicas lie in different zones and on different nodes where they can: (list . "gateway"). */}}
{{- define "nextclick.spread" -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "nextclick.selectorLabels" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/* (list uid gid group-of-volumes): all that the `restricted` standard asks of a pod. */}}
{{- define "nextclick.podSecurityOf" -}}
runAsNonRoot: true
runAsUser: {{ index . 0 }}
runAsGroup: {{ index . 1 }}
fsGroup: {{ index . 2 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "nextclick.podSecurity" -}}
{{- include "nextclick.podSecurityOf" (list 10001 10001 10001) -}}
{{- end -}}

{{- define "nextclick.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Resources with the GPUs among the limits: (list .Values.triton.resources .Values.triton.gpu). */}}
{{- define "nextclick.gpuResources" -}}
{{- $resources := deepCopy (index . 0) -}}
{{- $gpu := index . 1 -}}
{{- if gt (int $gpu.count) 0 -}}
{{- $_ := set $resources.limits $gpu.resource (int $gpu.count) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "nextclick.volumeMounts" -}}
- name: home
  mountPath: /var/lib/nextclick
- name: tmp
  mountPath: /tmp
{{- end -}}

{{- define "nextclick.volumes" -}}
{{ include "nextclick.volumesOf" (list .Values.scratch .Values.scratch) }}
{{- end -}}

{{/* With sizes of their own: (list HOME TMP). */}}
{{- define "nextclick.volumesOf" -}}
- name: home
  emptyDir: {sizeLimit: {{ index . 0 }}}
- name: tmp
  emptyDir: {sizeLimit: {{ index . 1 }}}
{{- end -}}

{{/* A claim as a volume, and where it is mounted: (list . "archive" .Values.storage.archive). */}}
{{- define "nextclick.claimVolume" -}}
- name: {{ index . 1 }}
  persistentVolumeClaim:
    claimName: {{ include "nextclick.claim" . | quote }}
{{- end -}}

{{- define "nextclick.claimMount" -}}
- name: {{ index . 1 }}
  mountPath: /{{ index . 1 }}
{{- end -}}

{{/* Certificates out of Secrets: (list . "kafka"), (list . "kafka" "redis"); nothing where none is named. */}}
{{- define "nextclick.tlsSecrets" -}}
{{- $root := index . 0 -}}
{{- $secrets := dict "kafka" $root.Values.kafka.security.tlsSecret "redis" $root.Values.redis.tlsSecret -}}
{{- $secrets = set $secrets "registry" $root.Values.registry.tlsSecret -}}
{{- $secrets = set $secrets "gateway" (ternary $root.Values.gateway.tls.secretName "" $root.Values.gateway.tls.enabled) -}}
{{- $wanted := dict -}}
{{- range rest . -}}
{{- if get $secrets . -}}{{- $wanted = set $wanted . (get $secrets .) -}}{{- end -}}
{{- end -}}
{{- toYaml $wanted -}}
{{- end -}}

{{- define "nextclick.tlsVolumes" -}}
{{- range $name, $secret := fromYaml (include "nextclick.tlsSecrets" .) }}
- name: {{ $name }}-tls
  secret:
    secretName: {{ $secret | quote }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "nextclick.tlsMounts" -}}
{{- range $name, $secret := fromYaml (include "nextclick.tlsSecrets" .) }}
- name: {{ $name }}-tls
  mountPath: /etc/nextclick/{{ $name }}-tls
  readOnly: true
{{- end }}
{{- end -}}
