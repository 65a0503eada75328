ALTER TABLE "batches" ADD COLUMN "max_failures" integer;--> statement-breakpoint
ALTER TABLE "batches" ADD COLUMN "max_failure_rate" double precision;--> statement-breakpoint
ALTER TABLE "batches" ADD COLUMN "hold_at" bigint;--> statement-breakpoint
ALTER TABLE "batches" ADD COLUMN "not_before" timestamp with time zone;