-- attach-orders: pay the sellers of the orders in tables that a shop has already.
--
-- Copy this file, write your names in place of these, and run it as the owner of the tables:
--     orders (order_id, currency, state)
--     order_items (item_id, order_id, seller_id, share_minor)      shares in minor units
--     sellers (seller_id, stripe_account_id)
-- The triggers run as the login that writes the tables, so these logins are members of payout_app,
-- as is the owner: the last statement registers the sellers that are there.
-- docs/attach.md says what happens when, and how a later edit is corrected.

-- Free items owe nothing to a payee, nor do those of the shop itself, nor does a cancelled order:
-- name each state of yours in which nobody is owed anything. A share that is null is no free item:
-- it is refused when the order is completed.
create function order_lines(p_order_id orders.order_id%type) returns jsonb
language sql stable set search_path from current as $$
    select coalesce(jsonb_agg(jsonb_build_object(
        'line_id', i.item_id::text, 'payee_id', i.seller_id::text, 'amount_minor', i.share_minor
    ) order by i.item_id), '[]')
    from order_items as i
    where i.order_id = p_order_id and i.share_minor is distinct from 0
        and i.seller_id is not null
        and not exists (
            select from orders as o where o.order_id = p_order_id and o.state in ('cancelled'))
$$;

-- Settles an order that is completed at the commit, once; later it only reports what differs.
create function settle_order() returns trigger
language plpgsql set search_path from current as $$
declare
    v_order orders;
    v_lines jsonb := order_lines(new.order_id);
begin
    select * into v_order from orders as o where o.order_id = new.order_id;
    if v_order.state = 'completed'
        and payout_api.report_edit(v_order.order_id::text, lower(v_order.currency), v_lines) is null
        and v_lines <> '[]' then
        perform payout_api.complete_settlement(
            p_settlement_id => v_order.order_id::text, p_currency => lower(v_order.currency),
            p_lines => v_lines, p_register_payees => true);
    end if;
    return null;
end
$$;

-- Reports an order that no longer agrees with its settlement, once for all that was edited before.
-- Each trigger names the column of its table that has the order's id.
create function report_order() returns trigger
language plpgsql set search_path from current as $$
declare
    v_order_id orders.order_id%type;
begin
    foreach v_order_id in array array_remove(
        array[to_jsonb(old) ->> tg_argv[0], to_jsonb(new) ->> tg_argv[0]], null)
    loop
        if current_setting('shop.reported', true) is distinct from v_order_id::text then
            perform set_config('shop.reported', v_order_id::text, true);
            perform payout_api.report_edit(
                v_order_id::text,
                (select lower(o.currency) from orders as o where o.order_id = v_order_id),
                order_lines(v_order_id))
            from payout.settlements as s
            where s.settlement_id = v_order_id::text and s.state = 'complete';
        end if;
    end loop;
    return null;
end
$$;

-- Before each statement: what was reported may be edited again by it.
create function report_again() returns trigger
language plpgsql as $$
begin
    perform set_config('shop.reported', '', true);
    return null;
end
$$;

-- Registers a seller who gets an account, or another one; earnings from before then go out. One who
-- is saved again as they were keeps the account that an operator may have registered since.
create function register_seller() returns trigger
language plpgsql set search_path from current as $$
begin
    perform payout_api.register_payee(new.seller_id::text, new.stripe_account_id);
    return null;
end
$$;

create constraint trigger settle_order_inserted after insert on orders
    deferrable initially deferred for each row
    when (new.state = 'completed') execute function settle_order();
create constraint trigger settle_order_completed after update on orders
    deferrable initially deferred for each row
    when (new.state = 'completed' and old.state is distinct from new.state)
    execute function settle_order();

create constraint trigger report_order_edited after update on orders
    deferrable initially deferred for each row
    when ((old.currency, old.state) is distinct from (new.currency, new.state))
    execute function report_order('order_id');
create constraint trigger report_order_removed after delete on orders
    deferrable initially deferred for each row execute function report_order('order_id');
create constraint trigger report_item_edited after update on order_items
    deferrable initially deferred for each row
    when ((old.order_id, old.seller_id, old.share_minor)
        is distinct from (new.order_id, new.seller_id, new.share_minor))
    execute function report_order('order_id');
create constraint trigger report_item_added_or_removed after insert or delete on order_items
    deferrable initially deferred for each row execute function report_order('order_id');

create trigger report_again before insert or update or delete on orders
    for each statement execute function report_again();
create trigger report_again before insert or update or delete on order_items
    for each statement execute function report_again();

create trigger register_seller_added after insert on sellers
    for each row when (new.stripe_account_id <> '') execute function register_seller();
create trigger register_seller_changed after update on sellers
    for each row
    when (new.stripe_account_id <> ''
        and old.stripe_account_id is distinct from new.stripe_account_id)
    execute function register_seller();

-- The sellers that are there already.
select count(payout_api.register_payee(s.seller_id::text, s.stripe_account_id)) as registered
from sellers as s
where s.stripe_account_id <> '';
