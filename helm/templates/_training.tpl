{{/* Whether several processes train together: "true" or nothing. */}}
{{- define "nextclick.trainsTogether" -}}
{{- if or (gt (int .Values.training.workers) 1) (gt (int .Values.training.gpu.count) 1) -}}true{{- end -}}
{{- end -}}

{{/* Spec of the Job, for the CronJob and for training now. */}}
{{- define "nextclick.trainingJob" -}}
{{- $training := .Values.training -}}
{{- $storage := .Values.storage -}}
{{- $workers := int $training.workers -}}
{{- $name := include "nextclick.name" (list . "training") -}}
completionMode: Indexed
completions: {{ $workers }}
parallelism: {{ $workers }}
# One of several that is started anew would wait for others that have ended: the next run is the next Job. Being evicted
# does not count.
backoffLimit: {{ ternary 1 0 (eq $workers 1) }}
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
activeDeadlineSeconds: {{ int64 $training.deadlineSeconds }}
template:
  metadata: {{- include "nextclick.podMetadata" (list . "training" $training) | nindent 4 }}
  spec:
    {{- include "nextclick.pod" (list . "training" $training) | nindent 4 }}
    {{- if include "nextclick.trainsTogether" . }}
    # Gives each pod the name JOB-INDEX under the headless Service, where the others find the first.
    subdomain: {{ $name }}
    {{- end }}
    restartPolicy: Never
    securityContext: {{- include "nextclick.podSecurity" . | nindent 6 }}
    containers:
      - name: training
        image: {{ include "nextclick.image" (list . $training.image) }}
        imagePullPolicy: {{ $training.image.pullPolicy }}
        command:
          {{- if include "nextclick.trainsTogether" . }}
          - torchrun
          - --nnodes={{ $workers }}
          - --nproc-per-node={{ max 1 (int64 $training.gpu.count) }}
          - --node-rank=$(JOB_COMPLETION_INDEX)
          - --master-addr=$(JOB_NAME)-0.{{ $name }}
          - --master-port=29500
          - -m
          - nextclick
          {{- else }}
          - nextclick
          {{- end }}
          - train
          - --recipe={{ $training.recipe }}
          {{- if ne $storage.models.kind "image" }}
          - --export
          {{- end }}
        env:
          {{- if include "nextclick.trainsTogether" . }}
          - name: JOB_NAME
            valueFrom:
              fieldRef:
                fieldPath: metadata.labels['batch.kubernetes.io/job-name']
          - name: JOB_COMPLETION_INDEX
            valueFrom:
              fieldRef:
                fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
          {{- end }}
          {{- include "nextclick.env" . | nindent 10 }}
          - name: DEVICE
            value: {{ ternary "cuda" "cpu" (gt (int $training.gpu.count) 0) }}
          - name: ARCHIVE_PATH
            value: {{ include "nextclick.archivePath" . | quote }}
          - name: RUNS_PATH
            value: /runs
          {{- with $training.itemsFile }}
          - name: ITEMS_PATH
            value: {{ printf "/archive/%s" . | quote }}
          {{- end }}
          {{- if ne $storage.models.kind "image" }}
          - name: MODEL_REPOSITORY
            value: {{ include "nextclick.modelRepository" . | quote }}
          - name: TRITON_GRPC_URL
            value: {{ include "nextclick.tritonUrl" . | quote }}
          - name: TRITON_DEVICE
            value: {{ .Values.triton.instanceGroup.kind }}
          - name: TRITON_INSTANCES
            value: {{ int64 .Values.triton.instanceGroup.count | quote }}
          {{- end }}
        {{- if or $storage.archive.url (eq $storage.models.kind "url") }}
        {{- include "nextclick.storageCredentials" . | nindent 8 }}
        {{- end }}
        {{- if include "nextclick.trainsTogether" . }}
        ports:
          - name: rendezvous
            containerPort: 29500
        {{- end }}
        resources: {{- include "nextclick.gpuResources" (list $training.resources $training.gpu) | nindent 10 }}
        securityContext: {{- include "nextclick.containerSecurity" . | nindent 10 }}
        volumeMounts:
          {{- include "nextclick.volumeMounts" . | nindent 10 }}
          - name: shared-memory
            mountPath: /dev/shm
          {{- include "nextclick.claimMount" (list . "runs") | nindent 10 }}
          {{- if not $storage.archive.url }}
          {{- include "nextclick.claimMount" (list . "archive") | nindent 10 }}
            readOnly: true
          {{- end }}
          {{- if eq $storage.models.kind "claim" }}
          {{- include "nextclick.claimMount" (list . "models") | nindent 10 }}
          {{- end }}
    volumes:
      {{- include "nextclick.volumesOf" (list .Values.scratch $training.scratch) | nindent 6 }}
      - name: shared-memory
        emptyDir:
          medium: Memory
          sizeLimit: {{ $training.sharedMemory }}
      {{- include "nextclick.claimVolume" (list . "runs" $storage.runs) | nindent 6 }}
      {{- if not $storage.archive.url }}
      {{- include "nextclick.claimVolume" (list . "archive" $storage.archive) | nindent 6 }}
      {{- end }}
      {{- if eq $storage.models.kind "claim" }}
      {{- include "nextclick.claimVolume" (list . "models" $storage.models) | nindent 6 }}
      {{- end }}
{{- end -}}
