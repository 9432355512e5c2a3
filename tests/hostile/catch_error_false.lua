-- Errors that are nil and false.
-- load: ok
-- call: policy
return function() pcall(error, nil) pcall(error, false) error(nil) end
