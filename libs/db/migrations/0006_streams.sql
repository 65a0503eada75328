DROP INDEX "chunks_done";--> statement-breakpoint
CREATE INDEX "batches_open" ON "batches" USING btree ("no") WHERE not "batches"."sealed";--> statement-breakpoint
CREATE INDEX "chunks_done" ON "chunks" USING btree ("batch","src") WHERE "chunks"."state" = 'done';