-- load: a batch of settlements out of CSV files, in one transaction, as an application would.
--
-- Run by psql, as a member of payout_app, in the directory that holds the files.

\set ON_ERROR_STOP on
begin;
\copy payout.settlements (settlement_id, currency, total_minor, state) from 'settlements.csv' with (format csv, header match)
\copy payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) from 'lines.csv' with (format csv, header match)
commit;
