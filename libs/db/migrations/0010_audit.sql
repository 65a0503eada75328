CREATE TABLE "audit" (
	"no" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "audit_no_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"who" text,
	"action" text NOT NULL,
	"target" text NOT NULL,
	"changed" boolean NOT NULL,
	"detail" json
);
