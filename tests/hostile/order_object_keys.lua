-- Pairs over a table with tables as keys.
-- load: ok
-- call: policy
return function() for _ in pairs { [{}] = 1, [{}] = 2 } do end end
