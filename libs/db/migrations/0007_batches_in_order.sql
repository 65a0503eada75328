DROP INDEX "batches_running";--> statement-breakpoint
CREATE INDEX "batches_running" ON "batches" USING btree ("owner","pass","no") WHERE "batches"."state" = 'running';