-- settlement_problem: the first thing for which a settlement cannot be paid out as it stands.
--
-- First the settlement itself, then the sum, then payees and amounts in their order. There is
-- always a row: where nothing is wrong any more, as when a payee was registered meanwhile, the
-- transaction is to be repeated.

create or replace function payout.settlement_problem(p_settlement payout.settlements)
returns table (code text, problem text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with owed as (
        select l.payee_id, min(l.line_id) as line_id, sum(l.amount_minor) as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    )
    select w.code, w.problem, w.hint
    from (
        select 1, null, 'SP305', format(': currency %s is not supported', p_settlement.currency),
            'payout.currencies lists those that Stripe transfers; an operator adds one that is '
            'missing: payout_api.add_currency.'
        where not exists (
            select from payout.currencies as c where c.currency = p_settlement.currency
        )
        union all
        select 2, null, 'SP308', ': metadata ' || m.problem,
            'Stripe takes 50 keys of 40 characters, text values of 500; four are ours.'
        from payout.metadata_problem(p_settlement.metadata) as m (problem)
        where m.problem is not null
        union all
        select 3, null, 'SP303', format(': lines add up to %s, total_minor is %s, difference %s',
                s.lines_minor, p_settlement.total_minor, p_settlement.total_minor - s.lines_minor),
            'At commit total_minor is what all lines add up to: insert all, or correct it.'
        from (select coalesce(sum(o.amount_minor), 0) from owed as o) as s (lines_minor)
        where s.lines_minor <> p_settlement.total_minor
        union all
        select 4, o.line_id, 'SP301',
            format(', line %s: payee %s is unknown', o.line_id, o.payee_id),
            'Call payout_api.register_payee first, also for a payee without an account yet; or '
            'pass p_register_payees => true to payout_api.complete_settlement.'
        from owed as o
        where not exists (select from payout.payees as p where p.payee_id = o.payee_id)
        union all
        select 5, o.payee_id, 'SP306',
            format(', payee %s: %s is not a multiple of %s as Stripe asks for %s', o.payee_id,
                o.amount_minor, c.amount_step, c.currency),
            'payout.currencies.amount_step says which amounts a currency knows.'
        from owed as o
        join payout.currencies as c on c.currency = p_settlement.currency
        where o.amount_minor % c.amount_step <> 0
        union all
        select 6, null, 'SP402', ': payees or currencies changed while it was scheduled',
            'Repeat the transaction.'
    ) as w (place, name, code, problem, hint)
    order by w.place, w.name, w.code
    limit 1
$$;
comment on function payout.settlement_problem(payout.settlements) is
    'SQLSTATE, message after the settlement''s name, and hint of the first reason for which it '
    'cannot be paid out; SP402 if there is none by now.';
